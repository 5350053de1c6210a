//! One thread that prepares items in order while the caller works on those before.

use std::sync::mpsc::sync_channel;

/// Calls `take(i, load(i))` for `i` in `0..count`, in order, with `load` running up to `depth` items ahead on
/// a thread of its own. Ends at the first error of `take`.
///
/// # Errors
/// The error of `take`.
pub(crate) fn ahead<T: Send, E>(
    count: usize,
    depth: usize,
    load: impl Fn(usize) -> T + Sync,
    mut take: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), E> {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(depth);
        let load = &load;
        scope.spawn(move || {
            for index in 0..count {
                if sender.send(load(index)).is_err() {
                    break;
                }
            }
        });
        let mut result = Ok(());
        for (index, item) in receiver.into_iter().enumerate() {
            result = take(index, item);
            if result.is_err() {
                break;
            }
        }
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_in_order_and_errors_end_it() {
        let mut seen = Vec::new();
        let all: Result<(), ()> = ahead(
            5,
            2,
            |i| i * i,
            |i, item| {
                assert_eq!(item, i * i);
                seen.push(i);
                Ok(())
            },
        );
        assert_eq!((all, &seen[..]), (Ok(()), &[0, 1, 2, 3, 4][..]));
        let cut = ahead(1000, 1, |i| i, |i, _| if i == 3 { Err("no") } else { Ok(()) });
        assert_eq!(cut, Err("no"));
    }
}
