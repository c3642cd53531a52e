//! A row as bytes: what is known, what did not move within the minute, and then numbers of variable
//! length (LEB128), sizes in units of 4 KiB. Each row stands for itself, so that no other has to be kept
//! for it.

use crate::model::past::{Count, Gauge, Row, Share, Size};

/// Sizes are kept to this: the smallest page of all machines.
const UNIT_BYTES: i64 = 4_096;
/// Of an unknown risk; else thousandths, at most 1,000.
const UNKNOWN_RISK: u64 = 1_001;

/// What is no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cut short, or not a row")]
pub(super) struct Damaged;

/// Appends a row.
pub(super) fn write(row: &Row, to: &mut Vec<u8>) {
    let sizes = row.sizes.map(|gauge| gauge.map(in_units));
    let is_flat =
        |gauge: &Option<Gauge>| gauge.is_some_and(|gauge| gauge == Gauge::new(gauge.last));
    put(to, u64::from(row.samples));
    put(to, mask(sizes.iter().map(Option::is_some)));
    put(to, mask(sizes.iter().map(is_flat)));
    for gauge in sizes.iter().flatten() {
        put_signed(to, gauge.last);
        if !is_flat(&Some(*gauge)) {
            put_signed(to, gauge.first - gauge.last);
            put(
                to,
                (gauge.first.min(gauge.last) - gauge.least).unsigned_abs(),
            );
            put(
                to,
                (gauge.most - gauge.first.max(gauge.last)).unsigned_abs(),
            );
        }
    }
    put(to, mask(row.counts.iter().map(Option::is_some)));
    put(
        to,
        mask(
            row.counts
                .iter()
                .map(|count| count.is_some_and(|count| count > 0)),
        ),
    );
    for count in row.counts.iter().flatten().filter(|count| **count > 0) {
        put(to, *count);
    }
    for share in row.risks.iter().chain(&row.eviction_risks) {
        put(
            to,
            share.map_or(UNKNOWN_RISK, |share| u64::from(share.most)),
        );
        if let Some(share) = share {
            put(to, u64::from(share.last));
        }
    }
}

/// Takes a row from the front.
pub(super) fn read(from: &mut &[u8]) -> Result<Row, Damaged> {
    let mut row = Row {
        samples: u32::try_from(take(from)?).map_err(|_| Damaged)?,
        ..Row::default()
    };
    let (known, flat) = (take(from)?, take(from)?);
    // What a later version keeps besides cannot be told from damage.
    if known >> Size::COUNT != 0 {
        return Err(Damaged);
    }
    for (place, gauge) in row.sizes.iter_mut().enumerate() {
        if known >> place & 1 == 0 {
            continue;
        }
        let last = take_signed(from)?;
        let mut found = Gauge::new(last);
        if flat >> place & 1 == 0 {
            found.first = last.checked_add(take_signed(from)?).ok_or(Damaged)?;
            let (below, above) = (take(from)? as i64, take(from)? as i64);
            found.least = found.first.min(last).checked_sub(below).ok_or(Damaged)?;
            found.most = found.first.max(last).checked_add(above).ok_or(Damaged)?;
        }
        *gauge = Some(in_bytes(found));
    }
    let (known, some) = (take(from)?, take(from)?);
    if known >> Count::ALL.len() != 0 {
        return Err(Damaged);
    }
    for (place, count) in row.counts.iter_mut().enumerate() {
        if known >> place & 1 == 1 {
            *count = Some(match some >> place & 1 {
                0 => 0,
                _ => take(from)?,
            });
        }
    }
    for share in row.risks.iter_mut().chain(&mut row.eviction_risks) {
        let most = take(from)?;
        if most != UNKNOWN_RISK {
            *share = Some(Share {
                most: most as u16,
                last: take(from)? as u16,
            });
        }
    }
    Ok(row)
}

fn each(gauge: Gauge, of: impl Fn(i64) -> i64) -> Gauge {
    Gauge {
        first: of(gauge.first),
        least: of(gauge.least),
        most: of(gauge.most),
        last: of(gauge.last),
    }
}

/// Rounded to the nearest.
fn in_units(gauge: Gauge) -> Gauge {
    each(gauge, |bytes| {
        bytes.saturating_add(UNIT_BYTES / 2).div_euclid(UNIT_BYTES)
    })
}

fn in_bytes(gauge: Gauge) -> Gauge {
    each(gauge, |units| units.saturating_mul(UNIT_BYTES))
}

fn mask(bits: impl Iterator<Item = bool>) -> u64 {
    bits.enumerate()
        .fold(0, |mask, (place, bit)| mask | u64::from(bit) << place)
}

/// Appends a number, seven bits a byte, the lowest first.
pub(super) fn put(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// Takes a number from the front.
pub(super) fn take(from: &mut &[u8]) -> Result<u64, Damaged> {
    let mut number = 0;
    for place in 0..10 {
        let (byte, rest) = from.split_first().ok_or(Damaged)?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Damaged)
}

/// Small numbers of either sign are short.
fn put_signed(to: &mut Vec<u8>, number: i64) {
    put(to, (number << 1 ^ number >> 63) as u64);
}

fn take_signed(from: &mut &[u8]) -> Result<i64, Damaged> {
    let number = take(from)?;
    Ok((number >> 1) as i64 ^ -((number & 1) as i64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round(row: &Row) -> Row {
        let mut bytes = Vec::new();
        write(row, &mut bytes);
        let mut left = bytes.as_slice();
        let read = read(&mut left).unwrap();
        assert!(left.is_empty());
        read
    }

    proptest! {
        #[test]
        fn a_row_comes_back_to_the_unit(
            sizes in prop::collection::vec(prop::option::of(prop::array::uniform4(-(1_i64 << 50)..1_i64 << 50)), Size::COUNT),
            counts in prop::collection::vec(prop::option::of(any::<u64>()), Count::ALL.len()),
            risks in prop::array::uniform4(prop::option::of((0..=1_000_u16, 0..=1_000_u16))),
            samples in any::<u32>(),
        ) {
            let mut row = Row { samples, ..Row::default() };
            for (place, size) in sizes.into_iter().enumerate() {
                row.sizes[place] = size.map(|all| {
                    let mut gauge = Gauge::new(all[0]);
                    all[1..].iter().for_each(|bytes| gauge.learn(*bytes));
                    gauge
                });
            }
            row.counts.copy_from_slice(&counts);
            let share = |risk: Option<(u16, u16)>| risk.map(|(most, last)| Share { most, last });
            row.risks = [share(risks[0]), share(risks[1])];
            row.eviction_risks = [share(risks[2]), share(risks[3])];
            let read = round(&row);
            prop_assert_eq!(round(&read), read.clone());
            prop_assert_eq!(&read.counts, &row.counts);
            prop_assert_eq!(read.risks, row.risks);
            for (read, was) in read.sizes.iter().zip(&row.sizes) {
                prop_assert_eq!(read.is_some(), was.is_some());
                if let (Some(read), Some(was)) = (read, was) {
                    for (read, was) in [(read.first, was.first), (read.least, was.least), (read.most, was.most), (read.last, was.last)] {
                        prop_assert!((read - was).abs() <= UNIT_BYTES / 2, "{} {}", read, was);
                    }
                }
            }
        }

        #[test]
        fn whatever_the_bytes_are_reading_them_ends(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut left = bytes.as_slice();
            while !left.is_empty() {
                if read(&mut left).is_err() {
                    break;
                }
            }
        }
    }
}
