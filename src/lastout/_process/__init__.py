"""Where files of a former version lay: a line leads to each that its journals may name."""
