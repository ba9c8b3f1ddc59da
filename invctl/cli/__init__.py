"""The clerk's commands: parse, open, call, render."""
