using System.Runtime.CompilerServices;

// The stack that a key is encoded in need not be zeroed first.
[module: SkipLocalsInit]
