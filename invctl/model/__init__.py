"""Pure values: identifiers, stock levels, reservations, events. No I/O, no clock, no database."""
