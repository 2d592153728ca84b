//! Agents: enrolment, heartbeat, silence and retirement. What they work on is the business of deployment.

mod enrol;
mod heartbeat;
mod manage;
mod model;
mod ports;
mod retire;

pub use enrol::{Enrolled, Enroller, EnrolmentToken, RegisterAgent, register, registration_refused};
pub use heartbeat::{Heartbeat, agent_offline_sweep, heartbeat};
pub use manage::{acting_agent, get_agent, list_agents, list_retired_agents};
pub use model::{Agent, AgentFilter, AgentStatus, FleetSettings, RESERVED_AGENTS, is_fresh};
pub use ports::{AgentStore, Heard};
pub use retire::{RetireAgent, RetireError, Retirement, RetirementCounts, retire};
