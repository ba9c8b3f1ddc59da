"""The commands of `invcentral`: parse, open, call, render."""
