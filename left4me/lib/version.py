"""Which release this is; hosts tell it, so that an older one among them is seen."""

VERSION = "0.1.0"
