//! A flame graph as nested JSON objects, written without recursion: stacks may be deeper than ours.

use std::io::Write;

use flamesql_profile::{NodeId, ProfileType, StackTree};

use super::tree::children;

/// Writes the root, called `total`, with what all of it measures, and below it each function with its callees.
pub(super) fn write(
    tree: &StackTree,
    profile_type: &ProfileType,
    into: &mut dyn Write,
) -> anyhow::Result<()> {
    let totals = tree.totals()?;
    let children = children(tree, &totals);
    write!(into, "{{\"profile_type\":")?;
    serde_json::to_writer(&mut *into, profile_type.as_str())?;
    write!(into, ",\"unit\":")?;
    serde_json::to_writer(&mut *into, profile_type.sample_unit())?;
    write!(into, ",\"name\":\"total\",")?;
    write_values(tree, NodeId::ROOT, &totals, into)?;
    // A node and how many of its children are written.
    let mut open = vec![(NodeId::ROOT, 0)];
    while let Some((node, n_written)) = open.last_mut() {
        let Some(child) = children[node.index()].get(*n_written).copied() else {
            write!(into, "]}}")?;
            open.pop();
            continue;
        };
        write!(into, "{}{{\"name\":", if *n_written > 0 { "," } else { "" })?;
        *n_written += 1;
        let name = tree.function(child).map_or("", |name| tree.names().get(name));
        serde_json::to_writer(&mut *into, name)?;
        write!(into, ",")?;
        write_values(tree, child, &totals, into)?;
        open.push((child, 0));
    }
    writeln!(into)?;
    Ok(())
}

fn write_values(
    tree: &StackTree,
    node: NodeId,
    totals: &[i64],
    into: &mut dyn Write,
) -> std::io::Result<()> {
    write!(into, "\"self\":{},\"total\":{},\"children\":[", tree.value(node), totals[node.index()])
}

#[cfg(test)]
mod tests {
    use flamesql_profile::folded;

    use super::*;

    #[track_caller]
    fn check(stacks: &str, json: &str) {
        let tree = folded::decode(stacks.as_bytes()).unwrap().into_tree();
        let cpu = ProfileType::parse("process_cpu:cpu:nanoseconds:cpu:nanoseconds").unwrap();
        let mut into = Vec::new();
        write(&tree, &cpu, &mut into).unwrap();
        assert_eq!(String::from_utf8(into).unwrap(), json);
    }

    #[test]
    fn functions_are_nested_the_larger_first() {
        check(
            "a;b 1\na;\"c\" 2\n 4\n",
            "{\"profile_type\":\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\",\"unit\":\"nanoseconds\",\
             \"name\":\"total\",\"self\":4,\"total\":7,\"children\":[\
             {\"name\":\"a\",\"self\":0,\"total\":3,\"children\":[\
             {\"name\":\"\\\"c\\\"\",\"self\":2,\"total\":2,\"children\":[]},\
             {\"name\":\"b\",\"self\":1,\"total\":1,\"children\":[]}]}]}\n",
        );
        check(
            "",
            "{\"profile_type\":\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\",\"unit\":\"nanoseconds\",\
             \"name\":\"total\",\"self\":0,\"total\":0,\"children\":[]}\n",
        );
    }

    #[test]
    fn no_stack_is_too_deep() {
        let stack = vec!["f"; 100_000].join(";");
        let tree = folded::decode(format!("{stack} 1\n").as_bytes()).unwrap().into_tree();
        let cpu = ProfileType::parse("::::").unwrap();
        write(&tree, &cpu, &mut std::io::sink()).unwrap();
    }
}
