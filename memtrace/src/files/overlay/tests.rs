use super::*;

/// The layer's path within the overlay, and whether it is the upper one.
fn show(options: &str, path: &str) -> Option<(String, bool)> {
    let layers = Layers::parse(options);
    let shown = layers.show(path)?;
    Some((shown.path.to_owned(), shown.in_upper))
}

#[test]
fn upper_and_lower_directories_are_found() {
    let options = "rw,lowerdir=/s/2/fs:/s/1/fs,upperdir=/s/3/fs,workdir=/s/3/work,index=off";
    for (path, expected) in [
        ("/s/3/fs/data/x", Some(("/data/x", true))),
        ("/s/2/fs/etc/passwd", Some(("/etc/passwd", false))),
        ("/s/1/fs", Some(("", false))),
        ("/s/3/work/x", None),
        ("/s/33/fs/x", None),
        ("/etc/passwd", None),
    ] {
        let expected = expected.map(|(path, upper)| (path.to_owned(), upper));
        assert_eq!(show(options, path), expected, "{path}");
    }
}

#[test]
fn an_overlay_without_upper_directory_is_read_only() {
    let options = "ro,lowerdir=/a:/b";
    assert_eq!(show(options, "/b/x"), Some(("/x".into(), false)));
}

#[test]
fn directories_of_the_newer_mount_api_and_data_layers_are_found() {
    let options = "rw,lowerdir+=/a:b,lowerdir+=/c\\054d,datadir+=/e,upperdir=/u";
    let layers = Layers::parse(options);
    assert_eq!(layers.lowers, ["/a:b", "/c,d", "/e"]);
    assert_eq!(
        Layers::parse("lowerdir=/a:/b::/c").lowers,
        ["/a", "/b", "/c"]
    );
}

#[test]
fn relative_directories_are_looked_for_above_the_upper_one() {
    let options = "rw,lowerdir=12/fs:11/fs,upperdir=/run/snap/13/fs,workdir=/run/snap/13/work";
    let shown = |path| show(options, path);
    assert_eq!(shown("/run/snap/11/fs/x"), Some(("/x".into(), false)));
    assert_eq!(shown("/elsewhere/11/fs/x"), None);
    assert_eq!(shown("/run/snap/14/fs/x"), None);
    // Nothing says where these are.
    assert_eq!(show("lowerdir=11/fs,upperdir=u", "/11/fs/x"), None);
}

#[test]
fn links_to_directories_are_followed() {
    let docker = "/var/lib/docker/overlay2";
    let links = |path: &str| match path.strip_prefix(docker)? {
        "/l/ABC" => Some("../cafe/diff".to_owned()),
        "/l/DEF" => Some("/mnt/beef/diff".to_owned()),
        _ => None,
    };
    for lowers in [
        format!("{docker}/l/ABC:{docker}/l/DEF:{docker}/f00d/diff"),
        "l/ABC:l/DEF:f00d/diff".to_owned(),
    ] {
        let options = format!("rw,lowerdir={lowers},upperdir={docker}/abba/diff");
        let mut layers = Layers::parse(&options);
        layers.resolve(links);
        layers.resolve(links);
        for path in ["cafe/diff/x", "f00d/diff/x", "abba/diff/x"] {
            let path = format!("{docker}/{path}");
            assert_eq!(layers.show(&path).unwrap().path, "/x", "{path}");
        }
        assert_eq!(layers.show("/mnt/beef/diff/x").unwrap().path, "/x");
    }
}
