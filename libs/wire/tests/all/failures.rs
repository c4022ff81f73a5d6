//! What goes wrong in the open tools that people use today, each under its name: here it does not. These two are about the
//! contracts as a whole, whoever adds to them.

use haetae_core::{Amount, Moment, Violations};
use haetae_wire::{DESCRIPTORS, convert::timestamp, exchange::v1::AssetAmount, read};
use prost::Message;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};

/// Every field of every contract of ours, with the message that has it.
fn fields() -> Vec<(String, FieldDescriptorProto)> {
    fn of(within: &str, message: DescriptorProto, out: &mut Vec<(String, FieldDescriptorProto)>) {
        let name = format!("{within}.{}", message.name());
        out.extend(message.field.into_iter().map(|field| (name.clone(), field)));
        message.nested_type.into_iter().for_each(|nested| of(&name, nested, out));
    }
    let mut fields = Vec::new();
    let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap().file;
    for file in files.into_iter().filter(|file| file.package().starts_with("haetae.")) {
        let package = file.package().to_owned();
        file.message_type.into_iter().for_each(|message| of(&package, message, &mut fields));
    }
    assert!(fields.len() > 300, "{} fields: these are not all contracts", fields.len());
    fields
}

#[test]
fn amounts_as_floating_point() {
    let floats: Vec<_> = fields()
        .into_iter()
        .filter(|(_, field)| matches!(field.r#type(), Type::Double | Type::Float))
        .map(|(message, field)| format!("{message}.{}", field.name()))
        .collect();
    assert_eq!(floats, Vec::<String>::new(), "no contract has a number that is not exact");

    let read = |amount: &str| {
        let wire = AssetAmount { asset: "eip155:1/slip44:60".to_owned(), amount: amount.to_owned() };
        read::amounts(&mut Violations::new(), "caps", &[wire]).and_then(|read| read.into_values().next())
    };
    for rounded in ["1.5", "1e18", "-1", "0x10", "1_000", "", " 1", "NaN"] {
        assert_eq!(read(rounded), None, "{rounded:?}");
    }
    // Beyond what a double holds, to the last unit.
    let odd = "9007199254740993000000000000000001";
    assert_eq!(read(odd).map(|amount: Amount| amount.to_string()).as_deref(), Some(odd));
}

#[test]
fn times_as_strings() {
    // How fields are named here that say when something is; `last_answer` is one too.
    let names = ["at", "as_of", "since", "time", "until", "last_answer"];
    let endings = ["_at", "_since", "_until", "_due", "_from"];
    let says_when = |name: &str| names.contains(&name) || endings.iter().any(|ending| name.ends_with(ending));
    let mut times = 0;
    for (message, field) in fields() {
        let (is_time, name) = (field.type_name() == ".google.protobuf.Timestamp", field.name());
        times += usize::from(is_time);
        assert!(is_time || !says_when(name), "{message}.{name} is a {:?} {}", field.r#type(), field.type_name());
    }
    assert!(times > 30);

    // Not a microsecond is lost on the way.
    let moment = Moment::from_unix_timestamp_nanos(1_780_000_000_123_456_000).unwrap();
    assert_eq!(read::moment(&mut Violations::new(), "at", Some(&timestamp(moment))), Some(moment));
}
