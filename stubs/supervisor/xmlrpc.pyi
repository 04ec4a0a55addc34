class Faults:
    ALREADY_STARTED: int
    NOT_RUNNING: int
