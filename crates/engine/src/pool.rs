//! The memory of a session that has a limit of it.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use datafusion::{
    common::resources_datafusion_err,
    error::Result,
    execution::memory_pool::{
        MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, human_readable_size,
    },
};

/// A pool in which sorts and groups, which go on in files, have equal shares of one half, and all else what is left.
///
/// A sort that writes its rows into a file builds keys of them first, for which it cannot wait: for lists of names such as
/// a stack they are as large as the rows themselves. DataFusion's fair pool gives all that is free to the rows, and a sort
/// by stacks then fails for its keys with most of itself in files.
#[derive(Debug)]
pub(crate) struct SpillPool {
    size: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    n_spilling: usize,
    spilling: usize,
    other: usize,
}

impl SpillPool {
    pub(crate) fn new(size: usize) -> Self {
        Self { size, used: Mutex::default() }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryPool for SpillPool {
    fn name(&self) -> &'static str {
        "spill"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.used().n_spilling += 1;
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.used().n_spilling -= 1;
        }
    }

    fn grow(&self, reservation: &MemoryReservation, more: usize) {
        let mut used = self.used();
        match reservation.consumer().can_spill() {
            true => used.spilling += more,
            false => used.other += more,
        }
    }

    fn shrink(&self, reservation: &MemoryReservation, less: usize) {
        let mut used = self.used();
        match reservation.consumer().can_spill() {
            true => used.spilling -= less,
            false => used.other -= less,
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, more: usize) -> Result<()> {
        let mut used = self.used();
        let can_spill = reservation.consumer().can_spill();
        let free = match can_spill {
            true => {
                let all = (self.size / 2).min(self.size.saturating_sub(used.other));
                let share = (all / used.n_spilling.max(1)).saturating_sub(reservation.size());
                // Who came before may hold more than is his share by now.
                share.min(self.size.saturating_sub(used.spilling + used.other))
            }
            false => self.size.saturating_sub(used.spilling + used.other),
        };
        if more > free {
            return Err(resources_datafusion_err!(
                "{} needs {} more than the {} that it has, of the memory limit of {}, and {} are left for it. \
                 Raise the limit (--memory-limit, SET datafusion.runtime.memory_limit), or ask for fewer rows",
                reservation.consumer().name(),
                human_readable_size(more),
                human_readable_size(reservation.size()),
                human_readable_size(self.size),
                human_readable_size(free)
            ));
        }
        match can_spill {
            true => used.spilling += more,
            false => used.other += more,
        }
        Ok(())
    }

    fn reserved(&self) -> usize {
        let used = self.used();
        used.spilling + used.other
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.size)
    }
}

impl fmt::Display for SpillPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", human_readable_size(self.reserved()), human_readable_size(self.size))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_spills_shares_one_half_and_the_rest_is_for_all_else() {
        let pool: Arc<dyn MemoryPool> = Arc::new(SpillPool::new(1000));
        let sorts =
            ["a", "b"].map(|name| MemoryConsumer::new(name).with_can_spill(true).register(&pool));
        let keys = MemoryConsumer::new("keys").register(&pool);
        sorts[0].try_grow(250).unwrap();
        sorts[0].try_grow(1).unwrap_err();
        sorts[1].try_grow(250).unwrap();
        keys.try_grow(500).unwrap();
        let error = keys.try_grow(1).unwrap_err().to_string();
        assert!(error.contains("keys needs 1.0 B more than the 500.0 B that it has"), "{error}");
        assert_eq!(pool.reserved(), 1000);
        // What all else takes beyond its half is missing in the other.
        for sort in &sorts {
            sort.free();
        }
        keys.try_grow(100).unwrap();
        sorts[0].try_grow(200).unwrap();
        sorts[0].try_grow(1).unwrap_err();
        drop(sorts);
        drop(keys);
        assert_eq!(pool.reserved(), 0);
        let alone = MemoryConsumer::new("alone").with_can_spill(true).register(&pool);
        alone.try_grow(500).unwrap();
        alone.try_grow(1).unwrap_err();
    }
}
