//! Tests of the whole: the rules between rooms, the route table against the contract, and the real binaries against
//! real peers. The tests themselves are in `tests/`.
