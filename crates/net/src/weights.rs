//! Weight files (safetensors).
