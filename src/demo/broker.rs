//! The broker itself, as `serve` runs it, in the demonstration's own process. The one seam between the two.

use std::{path::Path, sync::Arc};

use super::DemoFault;
use crate::{
    app::{self, Running},
    audit::checkpoint::Verifier,
    config::Settings,
    credential::{Wrapping, keys},
    model::{Clock, Entropy},
    store,
};

/// The running broker.
pub(super) struct Broker {
    running: Running,
    /// The key that checks its log's checkpoints, for auditors (C2SP signed-note).
    pub(super) verifier: String,
}

impl Broker {
    /// Starts it with this configuration, making the keys that it lacks.
    pub(super) async fn start(
        configuration: &Path,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, DemoFault> {
        let settings = Settings::load(configuration).map_err(|mistakes| {
            let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            DemoFault::Broker(lines.join("\n"))
        })?;
        let verifier = make_keys(&settings, clock.as_ref(), entropy.as_ref()).await.map_err(DemoFault::Broker)?;
        let running = app::start(settings, clock, entropy).await;
        let running = running.map_err(|fault| DemoFault::Broker(fault.to_string()))?;
        Ok(Self { running, verifier })
    }

    /// Stops it in good order.
    pub(super) async fn stop(self) {
        self.running.stop().await;
    }
}

async fn make_keys(settings: &Settings, clock: &dyn Clock, entropy: &dyn Entropy) -> Result<String, String> {
    let pool = store::connect(&settings.database).await.map_err(|fault| fault.to_string())?;
    let mut connection = pool.acquire().await.map_err(|fault| fault.to_string())?;
    let wrapping = Wrapping::new(settings.keys.wrapping_key_file.clone());
    let made = keys::init(&mut connection, &wrapping, settings.portal.host(), clock.now(), entropy).await;
    drop(connection);
    pool.close().await;
    let public = made.map_err(|fault| fault.to_string())?.checkpoint_public;
    let public = public.as_slice().try_into().map_err(|_| "the checkpoint key is no key".to_owned())?;
    Verifier::new(&settings.audit.origin, public)
        .map(|verifier| verifier.to_string())
        .map_err(|fault| fault.to_string())
}
