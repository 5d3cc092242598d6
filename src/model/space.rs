//! Allocation of disk space.
