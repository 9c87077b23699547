"""Compares a table that test_assess wrote with SciPy, NumPy and an independent computation of Tango's interval.

Usage: check_statistics.py TABLE.json. Prints one line and exits 0 when everything agrees, else prints each difference.

Tango's constrained maximum likelihood is found here from the derivative of the likelihood, not from the closed form of
the paper, and the interval by Brent's method on the score.
"""
import json
import math
import sys

import numpy
import scipy.optimize
import scipy.stats

TOLERANCE = 1e-9


def close(ours, theirs):
    return abs(ours - theirs) <= TOLERANCE * max(1.0, abs(theirs))


def close_p(ours, theirs):
    """p-values agree relatively as well, so that tiny ones count."""
    return abs(ours - theirs) <= max(TOLERANCE * abs(theirs), 1e-300)


def constrained_q(n, lost, gained, difference):
    """argmax over q of gained·log(q + difference) + lost·log(q) + rest·log(1 − 2q − difference), difference ≥ 0."""
    rest = n - lost - gained
    high = (1 - difference) / 2

    def slope(q):
        return ((gained / (q + difference) if gained else 0.0) + (lost / q if lost else 0.0)
                - (rest / (high - q) if rest else 0.0))

    start, end = high * 1e-15, high * (1 - 1e-15)
    if slope(start) <= 0:
        return 0.0
    if slope(end) >= 0:
        return high
    return scipy.optimize.brentq(slope, start, end, xtol=1e-18, rtol=1e-15, maxiter=1000)


def score(n, lost, gained, difference):
    if difference < 0:
        return -score(n, gained, lost, -difference)
    distance = gained - lost - n * difference
    variance = n * (2 * constrained_q(n, lost, gained, difference) + difference * (1 - difference))
    if variance <= 0:
        return 0.0 if distance == 0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def tango(n, lost, gained, confidence):
    z = scipy.stats.norm.isf((1 - confidence) / 2)
    estimate = (gained - lost) / n

    def end(limit, target):
        if estimate == limit:
            return limit
        near = estimate + (limit - estimate) * 1e-9  # at the estimate itself the score may be 0/0
        far = limit - (limit - estimate) * 1e-12
        return scipy.optimize.brentq(lambda d: score(n, lost, gained, d) - target, *sorted((near, far)),
                                     xtol=1e-15, rtol=1e-14, maxiter=1000)

    return end(-1.0, z), end(1.0, -z)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        table = json.load(file)
    differences = []

    def check(agrees, what, ours, theirs):
        if not agrees:
            differences.append(f"{what}: found {ours!r}, expected {theirs!r}")

    for row in table["mcnemar"]:
        lost, gained = row["lost"], row["gained"]
        theirs = scipy.stats.binomtest(min(lost, gained), lost + gained, 0.5).pvalue if lost + gained else 1.0
        check(close_p(row["p"], theirs), f"McNemar p of {lost} lost, {gained} gained", row["p"], theirs)
    for row in table["wilson"]:
        theirs = scipy.stats.binomtest(row["successes"], row["trials"]).proportion_ci(row["confidence"], "wilson")
        for ours, expected in ((row["lower"], theirs.low), (row["upper"], theirs.high)):
            check(close(ours, expected), f"Wilson {row}", ours, expected)
    for row in table["tango"]:
        theirs = tango(row["samples"], row["lost"], row["gained"], row["confidence"])
        for ours, expected in zip((row["lower"], row["upper"]), theirs):
            check(close(ours, expected), f"Tango {row}", ours, expected)
    for row in table["quantile"]:
        samples, probability, confidence = row["samples"], row["probability"], row["confidence"]
        theirs = numpy.quantile(samples, probability)
        check(close(row["value"], theirs), f"quantile {probability}", row["value"], theirs)
        count, tail = scipy.stats.binom(len(samples), probability), (1 - confidence) / 2
        ranks = range(1, len(samples) + 1)
        lower = max((r for r in ranks if count.cdf(r - 1) <= tail), default=1)
        upper = min((r for r in ranks if count.sf(r - 1) <= tail), default=len(samples))
        coverage = count.cdf(upper - 1) - count.cdf(lower - 1)
        check(row["lower"] == samples[lower - 1], f"lower end of quantile {probability}", row["lower"], samples[lower - 1])
        check(row["upper"] == samples[upper - 1], f"upper end of quantile {probability}", row["upper"], samples[upper - 1])
        check(close(row["coverage"], coverage), f"coverage of quantile {probability}", row["coverage"], coverage)

    for difference in differences:
        print(difference)
    rows = sum(len(part) for part in table.values())
    print(f"{rows} rows checked against SciPy {scipy.__version__}: {len(differences)} differences")
    return 1 if differences or rows < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
