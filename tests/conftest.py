"""The fixtures that every test may ask for."""

pytest_plugins = ("tests.databases", "tests.locked", "tests.running_sandbox", "tests.scripted_server")
