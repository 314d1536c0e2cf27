//! flamesql
