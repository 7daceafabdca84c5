//! Training in a simulator written in Rust: a rocket learns to land softly.
//!
//!     cd csrc/examples/rust && cargo run --release
//!
//! It needs Rust 1.63 or newer (Debian: rustc, cargo) and a C compiler, and no crates. Exits with 0
//! if the landings of the last rollout were soft.

#[allow(non_camel_case_types, non_upper_case_globals, dead_code, deref_nullptr)]
#[allow(clippy::all)]
mod bindings;
mod trpo;

use std::os::raw::c_int;
use trpo::{Agent, Environments, Random, Simulator, Step};

/// A rocket above the moon, whose engine is off or on.
#[derive(Clone, Copy, Default)]
struct Rocket {
    height: f64, // m
    speed: f64,  // upwards, m/s
}

const TIME_STEP: f64 = 0.2; // s
const GRAVITY: f64 = 1.6; // m/s^2
const THRUST: f64 = 3.0; // m/s^2

impl Simulator for Rocket {
    const NAME: &'static str = "Rocket\0";
    const OBS_SIZE: usize = 2;
    const CHOICES: &'static [c_int] = &[2];
    const MAX_EPISODE_STEPS: c_int = 200;

    fn reset(&mut self, random: &mut Random) {
        self.height = random.uniform(20.0, 30.0);
        self.speed = random.uniform(-2.0, 2.0);
    }

    /// The reward is 20 for a landing at speed 0, and 2 less per m/s; flying costs 0.05 per step.
    fn step(&mut self, action: &[f64]) -> Step {
        let thrust = if action[0] > 0.5 { THRUST } else { 0.0 };
        self.speed += TIME_STEP * (thrust - GRAVITY);
        self.height += TIME_STEP * self.speed;
        let terminated = self.height <= 0.0;
        let reward = if terminated {
            20.0 + 2.0 * self.speed
        } else {
            -0.05
        };
        Step { reward, terminated }
    }

    fn observe(&self, obs: &mut [f64]) {
        obs.copy_from_slice(&[self.height / 10.0, self.speed / 5.0]);
    }
}

const ENVIRONMENTS: usize = 16;
const UPDATES: usize = 40;
/// The mean return of a rollout that counts as learnt; 7 is what the first one has, 17 about the best.
const ENOUGH: f64 = 16.0;

fn main() -> Result<(), String> {
    let mut environments = Environments::new::<Rocket>(ENVIRONMENTS, 1)?;
    let hidden: [c_int; 2] = [32, 32];
    let mut agent = Agent::new::<Rocket>(ENVIRONMENTS, |settings| {
        settings.n_steps = 256;
        settings.policy_hidden = hidden.as_ptr();
        settings.n_policy_hidden = hidden.len() as c_int;
        settings.value_hidden = hidden.as_ptr();
        settings.n_value_hidden = hidden.len() as c_int;
        settings.target_kl = 0.02;
        settings.seed = 1;
    })?;
    let mut mean = f64::NAN;
    for update in 1..=UPDATES {
        let returns = agent.collect(&mut environments)?;
        mean = returns.iter().sum::<f64>() / returns.len() as f64;
        let info = agent.update()?;
        if update == 1 || update % 5 == 0 {
            println!(
                "update {update:3}  mean return {mean:6.2}  kl {:.4}",
                info.kl
            );
        }
    }
    if mean >= ENOUGH {
        println!("learnt: mean return {mean:.2}");
        return Ok(());
    }
    Err(format!("not learnt: mean return {mean:.2} of {ENOUGH}"))
}
