//! Hand-built inputs for tests of the model, the aggregator and the views.
