//! Building the workspace's own programs.

use haetae_testkit::binaries;

#[test]
fn a_package_that_is_not_there_is_an_error() {
    assert!(binaries::built(&["haetae-no-such-thing"]).is_err());
}
