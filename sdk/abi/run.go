package abi

// ModuleRun is all that came out of one module: the host makes it, a report is
// built from it.
type ModuleRun struct {
	Declaration Declaration
	Result      ModuleResult
	Findings    []ResolvedFinding
	Outcomes    []RuleResult // one for every declared rule
}

// ResolvedFinding is a finding that the host has checked, with its evidence
// turned into places in the bundle.
type ResolvedFinding struct {
	Finding
	Places []ReportedEvidence
}
