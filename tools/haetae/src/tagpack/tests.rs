use super::*;

/// The shape of GraphSense's packs of sanctioned addresses.
const LAZARUS: &str = "\
title: OFAC Tagpack
creator: GraphSense Core Team
description: Addresses related to Lazarus Group members
confidence: authority_data
is_cluster_definer: false
category: user
lastmod: 2022-04-15
source: https://www.treasury.gov/resource-center/sanctions/OFAC-Enforcement/Pages/20200302.aspx
label: Lazarus group
abuse: sanction
actor: lazarusgroup
tags:
- address: 134r8iHv69xdT6p5qVKTsHrcUEuBVZAYak
  currency: BTC
- address: '0x098B716B8Aaf21512996dC57EB0615e2383E2f96'
  currency: ETH
";

/// The shape of its packs of crawled labels.
const CRAWLED: &str = "\
title: Etherscan exchange
creator: GraphSense Core Team
lastmod: 2023-08-16 12:18:52.619444
category: exchange
source: https://etherscan.io/accounts/label/exchange
confidence: web_crawl
currency: ETH
tags:
- address: '0xc96c1609a1a45ccc667b2b7fa6508e29617f7b69'
  label: 2GT_token (2GT)
  concepts:
  - exchange
- address: '0x05f51aab068caa6ab7eeb672f88c180f67f17ec7'
  label: ABCC
  concepts: [exchange, hot_wallet]
  actor: abcc
";

fn refused(text: &str) -> Vec<(usize, String)> {
    read(text).unwrap().refused.into_iter().map(|refused| (refused.line, refused.why)).collect()
}

#[test]
fn published_packs_are_taken_as_they_are() {
    let pack = read(LAZARUS).unwrap();
    assert_eq!((pack.labels.len(), pack.refused.len(), pack.passed_over.len()), (2, 0, 0));
    assert_eq!(pack.head.series, "OFAC Tagpack — GraphSense Core Team");
    let says = label::whole(pack.labels[1].says.as_ref().unwrap(), pack.head.says.as_ref().unwrap());
    assert_eq!(
        (says.label.as_str(), says.currency.as_str(), says.abuse.as_str()),
        ("Lazarus group", "ETH", "sanction")
    );
    assert_eq!((says.lastmod.as_str(), says.is_cluster_definer), ("2022-04-15", Some(false)));

    let pack = read(CRAWLED).unwrap();
    let says: Vec<_> = pack.labels.iter().map(|label| label.says.clone().unwrap()).collect();
    assert_eq!(
        (says[0].label.as_str(), says[0].concepts.as_slice()),
        ("2GT_token (2GT)", &["exchange".to_owned()][..])
    );
    assert_eq!((says[1].actor.as_str(), says[1].concepts.len()), ("abcc", 2));
    assert_eq!(pack.head.says.unwrap().lastmod, "2023-08-16 12:18:52.619444");
}

#[test]
fn each_bad_tag_is_named_with_its_line_and_the_rest_is_taken() {
    let text = "\
title: t
creator: c
source: s
currency: BTC
tags:
- address: 134r8iHv69xdT6p5qVKTsHrcUEuBVZAYak
  label: good
- address: 134r8iHv69xdT6p5qVKTsHrcUEuBVZAYaK
  label: mistyped
- just a text
- label: nowhere
- address: 134r8iHv69xdT6p5qVKTsHrcUEuBVZAYak
  label: [a, list]
- address: 134r8iHv69xdT6p5qVKTsHrcUEuBVZAYak
  address: 134r8iHv69xdT6p5qVKTsHrcUEuBVZAYak
  label: twice
- {address: 134r8iHv69xdT6p5qVKTsHrcUEuBVZAYak}
- address: 134r8iHv69xdT6p5qVKTsHrcUEuBVZAYak
  label: also good
  is_cluster_definer: perhaps
- {address: 15YK647qtoZQDzNrvY6HJL6QwXduLHfT28, label: good too}
";
    let pack = read(text).unwrap();
    let good: Vec<_> = pack.labels.iter().map(|label| label.says.as_ref().unwrap().label.as_str()).collect();
    assert_eq!(good, ["good", "good too"]);
    assert_eq!((pack.head.labels, pack.head.refused), (2, 7));
    let lines: Vec<_> = refused(text).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [8, 10, 11, 12, 14, 17, 18]);
    let why = refused(text).into_iter().map(|(_, why)| why).collect::<Vec<_>>().join("\n");
    for part in
        ["checksum", "is no mapping", "no address", "label is no text", "address is there twice", "says no label"]
    {
        assert!(why.contains(part), "{part} is not in\n{why}");
    }
}

#[test]
fn unknown_fields_are_passed_over_and_counted() {
    let text = LAZARUS.replace("  currency: BTC", "  currency: BTC\n  colour: red\n  nested: {a: [1, {b: 2}]}");
    let pack = read(&text.replace("actor: lazarusgroup", "actor: lazarusgroup\nis_public: true")).unwrap();
    assert_eq!((pack.labels.len(), pack.head.passed_over), (2, 3));
    assert_eq!(pack.passed_over.keys().map(String::as_str).collect::<Vec<_>>(), ["colour", "is_public", "nested"]);
}

#[test]
fn values_are_taken_as_they_are_spelled() {
    let text = "\
title: 2023
creator: 'yes'
source: &here https://example.test # a comment
currency: ETH
label: 0123
lastmod: null
tags:
- address: 0x098b716b8aaf21512996dc57eb0615e2383e2f96
  context: |
    {\"a\": 1}
    # no comment
- address: 0x098b716b8aaf21512996dc57eb0615e2383e2f96
  source: *here
  label: 1e3
";
    let pack = read(text).unwrap();
    assert_eq!((pack.refused.len(), pack.head.title.as_str(), pack.head.creator.as_str()), (0, "2023", "yes"));
    let head = pack.head.says.unwrap();
    assert_eq!((head.label.as_str(), head.lastmod.as_str()), ("0123", ""));
    let says: Vec<_> = pack.labels.iter().map(|label| label.says.clone().unwrap()).collect();
    assert_eq!(says[0].context, "{\"a\": 1}\n# no comment\n");
    assert_eq!((says[1].source.as_str(), says[1].label.as_str()), ("https://example.test", "1e3"));
}

#[test]
fn what_is_inherited_may_stand_behind_the_tags() {
    let text = "tags:\n- address: 134r8iHv69xdT6p5qVKTsHrcUEuBVZAYak\ntitle: t\ncreator: c\nsource: s\nlabel: l\ncurrency: BTC\n";
    assert_eq!(read(text).unwrap().labels.len(), 1);
}

#[test]
fn a_pack_whose_head_is_of_no_use_is_refused_whole() {
    for (text, why) in [
        ("", "no mapping"),
        ("- a\n- b\n", "no mapping"),
        (&LAZARUS.replace("title: OFAC Tagpack\n", ""), "no title"),
        (&LAZARUS.replace("creator: GraphSense Core Team\n", ""), "no creator"),
        (&LAZARUS.replace("category: user", "category: [user]"), "line 6: the head's `category` is no text"),
        (&LAZARUS.replace("abuse: sanction", "title: again"), "line 10: the head's `title` is there twice"),
        (LAZARUS.split("tags:").next().unwrap(), "no tags"),
        (&(LAZARUS.split("tags:").next().unwrap().to_owned() + "tags: []\n"), "no tags"),
        (&LAZARUS.replace("  currency: ETH", "   currency: ETH\n x"), "line"),
        (&LAZARUS.replace("label: Lazarus", "label: 'Lazarus"), "line"),
        (&(LAZARUS.to_owned() + "---\ntitle: another\n"), "a file holds one"),
    ] {
        let fault = read(text).expect_err(why).to_string();
        assert!(fault.contains(why), "{fault}");
    }
}

#[test]
fn what_is_written_reads_as_what_was_read() {
    let odd = CRAWLED
        .replace(
            "label: ABCC",
            "label: \"a: 'b' \\\"c\\\" # d\\n\\te — 해태\"\n  is_cluster_definer: true\n  context: '- {'",
        )
        .replace("currency: ETH\n", "currency: ETH\nuri: https://example.test/pack.yaml\n");
    for text in [LAZARUS, CRAWLED, &odd] {
        let pack = read(text).unwrap();
        let mut out = Vec::new();
        write::head(&mut out, &pack.head).unwrap();
        for label in &pack.labels {
            write::label(&mut out, label).unwrap();
        }
        let again = read(str::from_utf8(&out).unwrap()).unwrap();
        assert_eq!(again.head, pack.head);
        assert!(again.labels == pack.labels);
    }
}

/// The pack of well-known addresses that comes with the program.
#[test]
fn the_pack_that_comes_with_the_program_has_a_source_and_an_account_for_each_of_its_labels() {
    let pack = read(include_str!("../../labels/well-known.yaml")).unwrap();
    assert_eq!((pack.refused.as_slice(), pack.passed_over.len()), (&[][..], 0));
    let head = pack.head.says.unwrap();
    let mut accounts = BTreeSet::new();
    for label in &pack.labels {
        let says = label::whole(label.says.as_ref().unwrap(), &head);
        assert!(says.source.starts_with("https://"), "{}", says.label);
        assert!(haetae_core::is_confidence(&says.confidence), "{}", says.label);
        assert!(accounts.insert(label::account(label, &head).unwrap().unwrap()), "{} is there twice", says.label);
    }
    assert!(accounts.len() >= 20);
}

/// The parser alone, on a pack of the size of GraphSense's largest.
#[test]
#[ignore = "measures; run it alone"]
fn two_hundred_thousand_tags_are_read() {
    use std::fmt::Write as _;
    let mut text = CRAWLED.split("- address").next().unwrap().to_owned();
    for n in 0..200_000_u64 {
        let _ =
            write!(text, "- address: '0x{n:040x}'\n  label: exchange {n}\n  concepts:\n  - exchange\n  actor: one\n");
    }
    let begun = std::time::Instant::now();
    let pack = read(&text).unwrap();
    println!("{} tags of {} bytes read in {:?}", pack.labels.len(), text.len(), begun.elapsed());
    assert_eq!(pack.labels.len(), 200_000);
}
