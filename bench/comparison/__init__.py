"""bench/all: runs all benches, compares their figures with peers and aims, and makes docs/performance.md of them."""
