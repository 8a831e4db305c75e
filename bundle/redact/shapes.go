package redact

// ruleShape counts tokens that no keyword gives away, but their shape does.
const ruleShape = "token-shape"
