"""Pure knowledge of the wire: replies, URLs, encodings and file formats. No I/O, no clock."""
