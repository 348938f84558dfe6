using System;
using System.Runtime.InteropServices;
using System.Threading;
using System.Threading.Tasks;

namespace Tokencache;

/// <summary>An asynchronous call that the library has not answered.</summary>
internal abstract class Completion
{
    /// <summary>The one answer. The result is valid until this returns.</summary>
    public abstract void Done(in Native.Result result);
}

/// <summary>An asynchronous call and the task that waits for it.</summary>
internal abstract class Completion<T> : Completion
{
    // Elsewhere than on the library's thread, which has other calls to answer.
    private readonly TaskCompletionSource<T> _source = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private CancellationTokenRegistration _cancellation;
    private GCHandle _self;

    public Task<T> Task => _source.Task;

    /// <summary>Lives until the library answers.</summary>
    /// <returns>What the library is given as user data.</returns>
    public IntPtr Start(CancellationToken cancellationToken)
    {
        _self = GCHandle.Alloc(this);
        if (cancellationToken.CanBeCanceled)
        {
            _cancellation = cancellationToken.Register(() => _source.TrySetCanceled(cancellationToken));
        }
        return GCHandle.ToIntPtr(_self);
    }

    /// <summary>Ends here when the library did not accept the call.</summary>
    public void Started(Native.Status status)
    {
        if (status < 0)
        {
            Exception reason = Failures.Last(status);
            End();
            _source.TrySetException(reason);
        }
    }

    public sealed override void Done(in Native.Result result)
    {
        End();
        if (result.Status < 0)
        {
            _source.TrySetException(Failures.From(result.Status, Text.FromNul(result.Message)));
            return;
        }
        T answer = Answer(result);
        if (!_source.TrySetResult(answer))
        {
            (answer as IDisposable)?.Dispose();
        }
    }

    protected abstract T Answer(in Native.Result result);

    private void End()
    {
        _cancellation.Dispose();
        _self.Free();
    }
}

internal sealed class GetCompletion : Completion<TokenValue?>
{
    protected override TokenValue? Answer(in Native.Result result) =>
        result.Value == IntPtr.Zero
            ? null
            : new TokenValue(Native.tc_value_retain(result.Value), result.Status == Native.Status.Degraded);
}

internal sealed class SetCompletion : Completion<SetResult>
{
    protected override SetResult Answer(in Native.Result result) => new(result.Version, result.Status);
}

internal sealed class RemoveCompletion : Completion<bool>
{
    protected override bool Answer(in Native.Result result) => result.Status == Native.Status.Ok;
}

internal sealed class TrySetCompletion : Completion<ulong?>
{
    protected override ulong? Answer(in Native.Result result) =>
        result.Status == Native.Status.Conflict ? null : result.Version;
}
