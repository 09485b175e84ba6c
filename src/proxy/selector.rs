//! Field and label selectors as the API server reads them (k8s.io/apimachinery, pkg/fields and pkg/labels).
//! What is no selector is refused here, as it would be there.

use crate::model::Selector;

/// Why a text is no selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the query holds a malformed selector")]
pub struct SelectorFault;

/// `metadata.name=web,status.phase!=Running`; `\` escapes a comma, an equals sign or itself in a value.
pub fn fields(text: &str) -> Result<Vec<Selector>, SelectorFault> {
    split_unescaped(text).into_iter().filter(|term| !term.is_empty()).map(field).collect()
}

fn field(term: &str) -> Result<Selector, SelectorFault> {
    let at = unescaped(term, &['=', '!']).find(|&at| {
        let rest = term.get(at..).unwrap_or_default();
        rest.starts_with('=') || rest.starts_with("!=")
    });
    let (key, rest) = at.and_then(|at| term.split_at_checked(at)).ok_or(SelectorFault)?;
    let (operator, value) = match (rest.strip_prefix("!="), rest.strip_prefix("=="), rest.strip_prefix('=')) {
        (Some(value), _, _) => ("!=", value),
        (_, Some(value), _) | (_, _, Some(value)) => ("=", value),
        _ => return Err(SelectorFault),
    };
    if key.is_empty() || key.contains('\\') {
        return Err(SelectorFault);
    }
    Ok(Selector { key: key.to_owned(), operator: operator.to_owned(), values: vec![unescape(value)?] })
}

fn unescape(value: &str) -> Result<String, SelectorFault> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                _ => return Err(SelectorFault),
            },
            ',' | '=' => return Err(SelectorFault),
            c => out.push(c),
        }
    }
    Ok(out)
}

fn split_unescaped(text: &str) -> Vec<&str> {
    let mut start = 0;
    let mut terms = Vec::new();
    for at in unescaped(text, &[',']) {
        terms.push(text.get(start..at).unwrap_or_default());
        start = at + 1;
    }
    terms.push(text.get(start..).unwrap_or_default());
    terms
}

/// Where one of `marks` stands without a backslash before it.
fn unescaped<'t>(text: &'t str, marks: &'t [char]) -> impl Iterator<Item = usize> + 't {
    let mut escaped = false;
    text.char_indices().filter_map(move |(at, c)| {
        let plain = !escaped;
        escaped = plain && c == '\\';
        (plain && marks.contains(&c)).then_some(at)
    })
}

/// `app=web,tier!=db,env in (a,b),zone notin (c),gpu,!spot,cores>3`.
pub fn labels(text: &str) -> Result<Vec<Selector>, SelectorFault> {
    let mut terms = Vec::new();
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1).ok_or(SelectorFault)?,
            ',' if depth == 0 => {
                terms.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(text.get(start..).unwrap_or_default());
    if depth != 0 {
        return Err(SelectorFault);
    }
    match terms.as_slice() {
        [only] if only.trim().is_empty() => Ok(Vec::new()),
        terms => terms.iter().map(|term| label(term.trim())).collect(),
    }
}

fn label(term: &str) -> Result<Selector, SelectorFault> {
    let made = |key: &str, operator: &str, values: Vec<&str>| {
        let key = key.trim();
        let values: Vec<String> = values.into_iter().map(|value| value.trim().to_owned()).collect();
        let sound = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b));
        if key.is_empty() || !sound(key) || !values.iter().all(|value| sound(value)) {
            return Err(SelectorFault);
        }
        Ok(Selector { key: key.to_owned(), operator: operator.to_owned(), values })
    };
    if let Some(head) = term.strip_suffix(')') {
        let (head, values) = head.split_once('(').ok_or(SelectorFault)?;
        let mut words = head.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(key), Some(operator @ ("in" | "notin")), None) => made(key, operator, values.split(',').collect()),
            _ => Err(SelectorFault),
        };
    }
    if let Some(key) = term.strip_prefix('!') {
        return made(key, "!", Vec::new());
    }
    for (mark, operator) in [("!=", "!="), ("==", "="), ("=", "="), (">", ">"), ("<", "<")] {
        if let Some((key, value)) = term.split_once(mark) {
            return made(key, operator, vec![value]);
        }
    }
    made(term, "exists", Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(selectors: Result<Vec<Selector>, SelectorFault>) -> String {
        let one = |one: Selector| format!("{} {} {}", one.key, one.operator, one.values.join("|"));
        selectors.map_or("refused".into(), |all| all.into_iter().map(one).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn field_selectors_are_read_as_the_api_server_reads_them() {
        for (text, meaning) in [
            ("", ""),
            ("metadata.name=web", "metadata.name = web"),
            ("metadata.name==web", "metadata.name = web"),
            ("a!=b,c=d", "a != b; c = d"),
            (r"a=b\,c", "a = b,c"),
            (r"a=b\=c\\", r"a = b=c\"),
            ("a=", "a = "),
            ("a", "refused"),
            ("=b", "refused"),
            ("a=b=c", "refused"),
            (r"a=\x", "refused"),
        ] {
            assert_eq!(shown(fields(text)), meaning, "{text}");
        }
    }

    #[test]
    fn label_selectors_are_read_as_the_api_server_reads_them() {
        for (text, meaning) in [
            ("", ""),
            ("app=web", "app = web"),
            ("app==web,tier!=db", "app = web; tier != db"),
            ("env in (a, b),zone notin (c)", "env in a|b; zone notin c"),
            ("gpu,!spot", "gpu exists ; spot ! "),
            ("cores>3", "cores > 3"),
            ("app.kubernetes.io/name=x", "app.kubernetes.io/name = x"),
            ("a in (b", "refused"),
            ("a b", "refused"),
            ("a=b,", "refused"),
            ("a)", "refused"),
            ("=b", "refused"),
        ] {
            assert_eq!(shown(labels(text)), meaning, "{text}");
        }
    }
}
