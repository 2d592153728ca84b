//! Lists: every page up to a limit.

use super::{Client, Send};
use crate::failure::Failure;
use serde_json::Value;

const PAGE: usize = 500;

/// How much of a list to fetch.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    /// Everything.
    None,
    /// At most so many rows.
    Rows(usize),
    /// Exactly this page of this size.
    Page(u32, u32),
}

/// The rows of a list and what the server said beside them.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) rows: Vec<Value>,
    pub(crate) total: Option<u64>,
    pub(crate) page: Option<u64>,
    pub(crate) per_page: Option<u64>,
    pub(crate) next_cursor: Option<String>,
    /// Listing exist beyond those fetched.
    pub(crate) cut: bool,
}

/// Takes the rows out of an answer: `data`, a bare array, or the one array among the members (`{"roles":[…]}`).
fn rows_of(answer: &mut Value) -> Result<Vec<Value>, Failure> {
    match answer {
        Value::Array(rows) => return Ok(std::mem::take(rows)),
        Value::Object(members) => {
            if let Some(Value::Null) = members.get("data") {
                return Ok(Vec::new());
            }
            let name = if members.contains_key("data") {
                Some("data".to_owned())
            } else {
                members.iter().find(|(_, value)| value.is_array()).map(|(name, _)| name.clone())
            };
            if let Some(Value::Array(rows)) = name.and_then(|name| members.get_mut(&name)) {
                return Ok(std::mem::take(rows));
            }
        }
        _ => {}
    }
    Err(Failure::Network("the server's answer holds no list".to_owned()))
}

/// Fetches a list page by page.
pub(crate) fn fetch(client: &Client, path: &str, query: &[(String, String)], limit: Limit) -> Result<Listing, Failure> {
    collect(query, limit, |query| {
        let request = Send { path, query, ..Send::default() };
        client.get(&request)
    })
}

fn collect(
    query: &[(String, String)],
    limit: Limit,
    mut get: impl FnMut(Vec<(String, String)>) -> Result<Value, Failure>,
) -> Result<Listing, Failure> {
    let mut out = Listing::default();
    let mut page = 1;
    let (size, wanted) = match limit {
        Limit::None => (PAGE, usize::MAX),
        Limit::Rows(rows) => (PAGE.min(rows.max(1)), rows),
        Limit::Page(number, size) => {
            page = number;
            (size as usize, usize::MAX)
        }
    };
    let mut cursor: Option<String> = None;
    loop {
        let mut query = query.to_vec();
        if let Some(cursor) = &cursor {
            query.push(("cursor".to_owned(), cursor.clone()));
            query.push(("page_size".to_owned(), size.to_string()));
        } else {
            query.push(("page".to_owned(), page.to_string()));
            query.push(("per_page".to_owned(), size.to_string()));
        }
        let mut answer = get(query)?;
        let number = |answer: &Value, name: &str| answer.get(name).and_then(Value::as_u64);
        let rows = rows_of(&mut answer)?;
        let first = out.rows.is_empty();
        let paged = number(&answer, "total").is_some() || answer.get("next_cursor").is_some();
        if first {
            out.total = number(&answer, "total");
            out.page = number(&answer, "page");
        }
        let got = rows.len();
        out.rows.extend(rows);
        out.next_cursor =
            answer.get("next_cursor").and_then(Value::as_str).filter(|text| !text.is_empty()).map(ToOwned::to_owned);
        if matches!(limit, Limit::Page(..)) {
            out.per_page = number(&answer, "per_page");
            return Ok(out);
        }
        let by_count = out.total.is_some_and(|total| (out.rows.len() as u64) < total);
        let more = paged && got > 0 && (out.next_cursor.is_some() || (cursor.is_none() && by_count));
        if out.rows.len() >= wanted {
            out.cut = more || out.rows.len() > wanted;
            out.rows.truncate(wanted);
            break;
        }
        if !more {
            break;
        }
        if out.next_cursor.is_some() && out.next_cursor == cursor {
            return Err(Failure::Network("the server repeats the same page".to_owned()));
        }
        cursor.clone_from(&out.next_cursor);
        page += 1;
    }
    out.per_page = Some(out.rows.len() as u64);
    if out.page.is_none() {
        out.page = Some(1);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn value<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
        query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Serves numbers below `count` by page, or by cursor.
    fn server(count: usize, cursors: bool) -> impl FnMut(Vec<(String, String)>) -> Result<Value, Failure> {
        move |query| {
            let size: usize = value(&query, "page_size").or(value(&query, "per_page")).unwrap().parse().unwrap();
            let start = match value(&query, "cursor") {
                Some(cursor) => cursor.parse().unwrap(),
                None => (value(&query, "page").unwrap().parse::<usize>().unwrap() - 1) * size,
            };
            let end = (start + size).min(count);
            let rows: Vec<usize> = (start.min(count)..end).collect();
            let mut answer = json!({"data": rows, "total": count, "page": 1, "per_page": size});
            if cursors && end < count {
                answer["next_cursor"] = json!(end.to_string());
            }
            Ok(answer)
        }
    }

    #[test]
    fn all_pages_are_fetched_by_cursor_and_by_number() {
        for cursors in [true, false] {
            let got = collect(&[], Limit::None, server(1234, cursors)).unwrap();
            let wanted: Vec<Value> = (0..1234).map(|n| json!(n)).collect();
            assert_eq!(got.rows, wanted, "cursors: {cursors}");
            assert_eq!((got.total, got.cut, got.next_cursor), (Some(1234), false, None));
        }
    }

    #[test]
    fn limit_cuts_and_says_so() {
        for cursors in [true, false] {
            let got = collect(&[], Limit::Rows(700), server(1234, cursors)).unwrap();
            assert_eq!((got.rows.len(), got.cut), (700, true), "cursors: {cursors}");
            let all = collect(&[], Limit::Rows(1234), server(1234, cursors)).unwrap();
            assert_eq!((all.rows.len(), all.cut), (1234, false), "cursors: {cursors}");
        }
    }

    #[test]
    fn one_page_is_one_request() {
        let got = collect(&[], Limit::Page(3, 10), server(25, true)).unwrap();
        assert_eq!(got.rows, vec![json!(20), json!(21), json!(22), json!(23), json!(24)]);
    }

    #[test]
    fn lists_under_another_name_or_bare_are_one_page() {
        for answer in [json!({"roles": [1, 2]}), json!([1, 2])] {
            let mut asked = 0;
            let got = collect(&[], Limit::None, |_| {
                asked += 1;
                Ok(answer.clone())
            });
            assert_eq!((got.unwrap().rows.len(), asked), (2, 1));
        }
        assert!(collect(&[], Limit::None, |_| Ok(json!({"data": null}))).unwrap().rows.is_empty());
        assert!(collect(&[], Limit::None, |_| Ok(json!("x"))).is_err());
    }
}
