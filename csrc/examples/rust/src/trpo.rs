//! A safe wrapper of the calls that this example needs: environments from a trait, and an agent that
//! trains in them. The C headers say what each call does.

use std::ffi::{c_void, CStr};
use std::mem::{align_of, size_of, MaybeUninit};
use std::os::raw::{c_char, c_int};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::{null, null_mut};

use crate::bindings::*;

/// What a step did.
pub struct Step {
    pub reward: f64,
    pub terminated: bool,
}

/// A simulation whose bytes are its complete state: `Copy`, so without pointers to memory of its own.
/// A panic ends the rollout as an error.
pub trait Simulator: Copy + Default + Send {
    /// The name in reports, which ends in "\0".
    const NAME: &'static str;
    const OBS_SIZE: usize;
    /// The number of choices 0, 1, ... of each component of an action.
    const CHOICES: &'static [c_int];
    const MAX_EPISODE_STEPS: c_int;

    fn reset(&mut self, random: &mut Random);
    fn step(&mut self, action: &[f64]) -> Step;
    fn observe(&self, obs: &mut [f64]);
}

/// An environment's stream of random numbers.
pub struct Random<'a>(&'a mut trpo_env_random);

impl Random<'_> {
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        unsafe { trpo_draw_uniform(self.0, low, high) }
    }
}

// ---- the environment interface: C calls these ---------------------------------------------------

/// The code that a panic becomes.
const PANICKED: c_int = -1;

fn code_of(call: impl FnOnce()) -> c_int {
    catch_unwind(AssertUnwindSafe(call)).map_or(PANICKED, |()| 0)
}

unsafe extern "C" fn reset<S: Simulator>(
    _config: *const c_void,
    state: *mut c_void,
    obs: *mut f64,
    random: *mut trpo_env_random,
) -> c_int {
    code_of(|| {
        let mut simulator = S::default();
        simulator.reset(&mut Random(&mut *random));
        simulator.observe(std::slice::from_raw_parts_mut(obs, S::OBS_SIZE));
        state.cast::<S>().write(simulator);
    })
}

unsafe extern "C" fn step<S: Simulator>(
    _config: *const c_void,
    state: *mut c_void,
    act: *const f64,
    obs: *mut f64,
    rew: *mut f64,
    term: *mut u8,
    _random: *mut trpo_env_random,
) -> c_int {
    code_of(|| {
        let simulator = &mut *state.cast::<S>();
        let done = simulator.step(std::slice::from_raw_parts(act, S::CHOICES.len()));
        simulator.observe(std::slice::from_raw_parts_mut(obs, S::OBS_SIZE));
        *rew = done.reward;
        *term = done.terminated.into();
    })
}

/// The struct of a simulator.
pub fn environment<S: Simulator>() -> trpo_env {
    assert!(S::NAME.ends_with('\0') && align_of::<S>() <= 16);
    let mut env: trpo_env = unsafe { MaybeUninit::zeroed().assume_init() };
    env.version = TRPO_ENV_VERSION as c_int;
    env.struct_size = size_of::<trpo_env>() as c_int;
    env.name = S::NAME.as_ptr().cast();
    env.state_bytes = size_of::<S>().max(1);
    env.obs_size = S::OBS_SIZE as c_int;
    env.n_actions = S::CHOICES.len() as c_int;
    env.choices = S::CHOICES.as_ptr();
    env.max_episode_steps = S::MAX_EPISODE_STEPS;
    env.reward_threshold = f64::NAN;
    env.reset = Some(reset::<S>);
    env.step = Some(step::<S>);
    env
}

// ---- environments and agents: each owns its memory ----------------------------------------------

type Result<T> = std::result::Result<T, String>;

/// The error of a status: a text of the library.
unsafe fn check(
    status: c_int,
    text: unsafe extern "C" fn(c_int) -> *const c_char,
) -> Result<c_int> {
    if status >= 0 {
        return Ok(status);
    }
    Err(CStr::from_ptr(text(status)).to_string_lossy().into_owned())
}

fn memory(bytes: usize) -> Vec<u8> {
    vec![0; bytes]
}

pub struct Environments {
    raw: *mut trpo_envs,
    _spec: Box<trpo_env>, // C keeps its address
    _memory: Vec<u8>,
}

impl Environments {
    /// `n` environments with an episode each.
    pub fn new<S: Simulator>(n: usize, seed: u64) -> Result<Self> {
        let (n, spec, mut raw) = (n as c_int, Box::new(environment::<S>()), null_mut());
        unsafe {
            let mut memory = memory(trpo_envs_bytes(&*spec, n));
            let (place, bytes) = (memory.as_mut_ptr().cast(), memory.len());
            check(
                trpo_envs_init(&mut raw, &*spec, n, seed, place, bytes),
                trpo_env_status_text,
            )?;
            check(
                trpo_envs_reset(raw, null(), null_mut()),
                trpo_env_status_text,
            )?;
            Ok(Environments {
                raw,
                _spec: spec,
                _memory: memory,
            })
        }
    }
}

pub struct Agent {
    raw: *mut trpo_agent,
    _memory: Vec<u8>,
}

impl Agent {
    /// An agent for `n` environments of this kind; `change` sets what differs from the defaults.
    pub fn new<S: Simulator>(n: usize, change: impl FnOnce(&mut trpo_settings)) -> Result<Self> {
        unsafe {
            let same = trpo_settings_size() == size_of::<trpo_settings>();
            assert!(
                same && trpo_real_size() == size_of::<trpo_real>(),
                "make the bindings again"
            );
            let mut settings = MaybeUninit::zeroed().assume_init();
            trpo_default_settings(&mut settings);
            check(
                trpo_settings_for_env(&mut settings, &environment::<S>()),
                trpo_status_text,
            )?;
            settings.n_envs = n as c_int;
            change(&mut settings);
            Agent::from_settings(&settings)
        }
    }

    unsafe fn from_settings(settings: &trpo_settings) -> Result<Self> {
        let bad = trpo_bad_setting(settings);
        if !bad.is_null() {
            return Err(format!(
                "{} is out of range",
                CStr::from_ptr(bad).to_string_lossy()
            ));
        }
        let (mut memory, mut raw) = (memory(trpo_bytes(settings, null())), null_mut());
        let (place, bytes) = (memory.as_mut_ptr().cast(), memory.len());
        check(
            trpo_init(&mut raw, settings, null(), place, bytes),
            trpo_status_text,
        )?;
        Ok(Agent {
            raw,
            _memory: memory,
        })
    }

    /// Records a rollout, and returns the total rewards of the episodes that ended in it.
    pub fn collect(&mut self, environments: &mut Environments) -> Result<Vec<f64>> {
        unsafe {
            let (mut failure, raw) = (MaybeUninit::zeroed().assume_init(), environments.raw);
            let status = trpo_collect(self.raw, raw, c_int::MAX, 0, &mut failure);
            check(status, trpo_status_text).map_err(|text| format!("{text}: {failure:?}"))?;
            let room = trpo_episodes(self.raw, null_mut(), 0, 0);
            let mut ended = vec![MaybeUninit::zeroed().assume_init(); room as usize];
            trpo_episodes(self.raw, ended.as_mut_ptr(), 0, room);
            Ok(ended
                .iter()
                .map(|episode: &trpo_episode| episode.total)
                .collect())
        }
    }

    /// Improves the policy on the recorded rollout.
    pub fn update(&mut self) -> Result<trpo_info> {
        unsafe {
            let mut info = MaybeUninit::zeroed().assume_init();
            check(trpo_update(self.raw, &mut info), trpo_status_text)?;
            Ok(info)
        }
    }
}
