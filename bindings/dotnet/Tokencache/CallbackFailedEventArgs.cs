using System;

namespace Tokencache;

/// <summary>A handler of the application has thrown.</summary>
/// <param name="handler">The one that threw.</param>
/// <param name="exception">What it threw.</param>
public sealed class CallbackFailedEventArgs(Delegate handler, Exception exception) : EventArgs
{
    /// <summary>The <see cref="RetryHandler"/> or <see cref="LogHandler"/> that threw.</summary>
    public Delegate Handler { get; } = handler;

    /// <summary>What it threw.</summary>
    public Exception Exception { get; } = exception;
}
