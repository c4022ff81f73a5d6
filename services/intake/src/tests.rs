//! Intake on a real database, followed logs included: calls are made to the service as the layers in front hand them on.

mod ahead;
mod failures;
mod followed;
mod granted;
mod in_line;
mod labels;
mod lives;
mod operated;
mod read;
mod refused;
mod scene;
mod under_law;
mod watches;
