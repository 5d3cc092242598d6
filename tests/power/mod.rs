//! Random load in a machine whose power goes: what it does (`load`), and what it knows of what must be there (`book`).

pub mod book;
pub mod load;
