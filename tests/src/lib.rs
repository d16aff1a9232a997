//! The system as a whole; see `it/`, one module per story.
