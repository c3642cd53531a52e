//! The OCI image layout (image-spec 1.0: image-layout.md, manifest.md, config.md).

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};

use crate::manifest::sha256;

/// Packages have no time of their own, or no two builds were the same.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// Writes an image of one layer, an uncompressed tar file.
pub fn write(layer: &[u8], folder: &Path) -> Result<()> {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).with_context(|| format!("cannot create {}", blobs.display()))?;
    let blob = |kind: &str, bytes: &[u8]| -> Result<Value> {
        let digest = sha256(bytes);
        save(&blobs.join(&digest), bytes)?;
        Ok(json!({
            "mediaType": format!("application/vnd.oci.image.{kind}"),
            "digest": format!("sha256:{digest}"),
            "size": bytes.len(),
        }))
    };
    let mut packed = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    packed.write_all(layer).context("compressing the layer")?;
    let packed = packed.finish().context("compressing the layer")?;
    let config = json!({
        "created": CREATED,
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "User": "0:0",
            "Entrypoint": ["/memtrace"],
            "Cmd": ["agent"],
            "Labels": annotations(),
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(layer))]},
        "history": [{"created": CREATED, "created_by": "cargo xtask image"}],
    });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("config.v1+json", config.to_string().as_bytes())?,
        "layers": [blob("layer.v1.tar+gzip", &packed)?],
        "annotations": annotations(),
    });
    let mut described = blob("manifest.v1+json", manifest.to_string().as_bytes())?;
    described["platform"] = json!({"architecture": "amd64", "os": "linux"});
    described["annotations"] =
        json!({"org.opencontainers.image.ref.name": env!("CARGO_PKG_VERSION")});
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [described],
    });
    save(&folder.join("index.json"), index.to_string().as_bytes())?;
    let layout = json!({"imageLayoutVersion": "1.0.0"});
    save(&folder.join("oci-layout"), layout.to_string().as_bytes())
}

fn annotations() -> Value {
    json!({
        "org.opencontainers.image.title": "memtrace",
        "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
        "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
        "org.opencontainers.image.source": env!("CARGO_PKG_REPOSITORY"),
    })
}

fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
