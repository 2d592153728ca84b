//! People who were shut out: when their personal data goes.

use crate::config::Config;
use crate::scheduler::Scheduler;
use certctl_kernel::RequestContext;
use certctl_ports::Ambient;
use certctl_unit_of_work::Stores;
use certctl_user::purge_due;

/// Removes the personal data of people who were shut out long enough ago.
pub(crate) fn start_retention(config: &Config, scheduler: &Scheduler) -> tokio::task::JoinHandle<()> {
    let retention = config.user_retention;
    scheduler.every(
        "user-retention",
        config.user_retention_interval,
        async move |stores: &mut dyn Stores, ambient: &Ambient| {
            let context = RequestContext::system("scheduler:user-retention");
            purge_due(stores, ambient, &context, retention).await
        },
    )
}
