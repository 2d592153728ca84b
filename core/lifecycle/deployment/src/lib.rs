//! Deployment: targets, what should stand on them, and the work that agents do to bring it there.

mod assignment;
mod command;
mod config;
mod deploy;
mod model;
mod pickup;
mod ports;
mod report;
mod target;
mod test_target;
mod work;

pub use assignment::{MAX_TARGETS, set_targets};
pub use command::{COMMAND_MEMBERS, check_command};
pub use config::{MASK, full_config};
pub use deploy::{deploy, list_attachments};
pub use model::{
    Attachment, AttachmentState, ClaimedTarget, ClaimedWork, DeploymentRecord, LastJob, Retired, Step, Target,
    TargetFilter, TargetUsage, WorkItem, WorkState,
};
pub use pickup::{AnsweredRequest, pickup_certificate, request_to_answer};
pub use ports::{DeploymentStore, Leases, WorkStore};
pub use report::{DeploymentResult, JobReport, fail_request, report_job};
pub use target::{
    CreateTarget, TargetRules, UpdateTarget, create_target, delete_target, get_target, list_targets, update_target,
};
pub use test_target::{TestOutcome, test_target};
pub use work::{LeaseSettings, claim_work, work_waiting};
