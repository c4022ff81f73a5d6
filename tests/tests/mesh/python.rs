//! A client in another language, written from the guide alone, on a running mesh.
