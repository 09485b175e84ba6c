//! The walls that the compiler holds: programs that forge, alter, copy or reuse a permit do not compile.

#[test]
fn a_permit_cannot_be_forged_altered_copied_or_spent_twice() {
    trybuild::TestCases::new().compile_fail("tests/permit/*.rs");
}
