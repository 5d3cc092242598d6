//! Planning: `plan(&World, &Request) -> Result<Plan>`. Pure: it sees, decides, and touches nothing.

pub mod request;
pub mod view;
pub mod world;
