//! krate-agents
