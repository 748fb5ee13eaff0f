//! A failing history made as short as it can be.

use super::play::Step;

/// The fewest of `steps` that still fail: every one that is left is needed. `fails` is asked often.
pub fn shrink(steps: &[Step], fails: &dyn Fn(&[Step]) -> bool) -> Vec<Step> {
    let mut kept = steps.to_vec();
    let mut chunk = kept.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        let mut any = false;
        while at < kept.len() {
            let end = at.saturating_add(chunk).min(kept.len());
            let mut fewer = kept.clone();
            fewer.drain(at..end);
            if fails(&fewer) {
                kept = fewer;
                any = true;
            } else {
                at = end;
            }
        }
        if chunk == 1 && !any {
            break;
        }
        chunk = if chunk == 1 { 1 } else { chunk / 2 };
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::play::{Act, Plan};
    use super::*;

    #[test]
    fn keeps_what_is_needed_and_nothing_else() {
        let steps = Plan::default().steps(1);
        let (Some(first), Some(last)) = (steps.get(17).copied(), steps.get(150).copied()) else { return };
        let needs = |some: &[Step]| some.contains(&first) && some.contains(&last);
        assert_eq!(shrink(&steps, &needs), [first, last]);
        assert!(shrink(&steps, &|some| some.iter().any(|step| step.act == Act::Work)).len() == 1);
    }
}
