//! Rebuilds the crate when a migration is added: `migrate!` alone notices only changes to files it knows.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
