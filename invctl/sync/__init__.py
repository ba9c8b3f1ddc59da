"""The protocol between a store and central, without I/O: frames in, frames and effects out."""
