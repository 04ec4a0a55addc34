from typing import TypeAlias

_Method: TypeAlias = tuple[int, int]  # its class and its number

class Channel:
    Open: _Method
    CloseOk: _Method

class Queue:
    Declare: _Method
    DeclareOk: _Method

class Basic:
    Qos: _Method
    Publish: _Method
