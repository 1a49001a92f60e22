"""Where files of `_exits` lay in a former version: a line leads to each that journals may name."""
