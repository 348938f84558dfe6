//! What only the linker can say of the shared library.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // C programs record the soname when they link; its number is the generation of the ABI.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libtokencache.so.1");
    // A library with threads must not be unmapped under them by dlclose.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
