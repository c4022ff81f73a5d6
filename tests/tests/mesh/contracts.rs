//! What every contract must say about itself.

use prost_reflect::{DescriptorPool, Value};

const ROLES: [&str; 7] = ["agency", "intake", "tracking", "freeze", "connector", "auditor", "operator"];

#[test]
fn every_method_inside_the_mesh_names_its_callers_and_the_public_contract_names_none() {
    let pool = DescriptorPool::decode(haetae_wire::DESCRIPTORS).unwrap();
    let callers = pool.get_extension_by_name("haetae.mesh.v1.callers").unwrap();
    let mut methods = 0;
    for service in pool.services().filter(|service| service.full_name().starts_with("haetae.")) {
        for method in service.methods() {
            methods += 1;
            let options = method.options();
            let named: Vec<_> = match options.get_extension(&callers).into_owned() {
                Value::List(roles) => roles.iter().filter_map(|role| role.as_str().map(str::to_owned)).collect(),
                _ => Vec::new(),
            };
            if service.full_name() == "haetae.exchange.v1.ExchangeService" {
                assert!(named.is_empty(), "{} is public", method.full_name());
            } else {
                assert!(!named.is_empty(), "{} names nobody", method.full_name());
                assert!(named.iter().all(|role| ROLES.contains(&role.as_str())), "{}: {named:?}", method.full_name());
            }
        }
    }
    assert!(methods > 30, "only {methods} methods were found");
}
