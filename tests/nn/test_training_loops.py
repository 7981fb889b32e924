"""Loops as people have them: what died is zero after every step, and a loop that only looks other ends alike."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from swp_export.nn import BatchNorm2d, FilterStripe, SkeletonUpdate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SR, THRESHOLD, STEPS = 0.1, 0.05, 5


class Residual(nn.Module):
    """A stem, and a block whose shortcut is added in place before the last BatchNorm, for `[B, 2, 6, 6]`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.bn1 = FilterStripe(2, 6, 3), BatchNorm2d(6)
        self.conv2, self.bn2 = FilterStripe(6, 6, 3), BatchNorm2d(6)
        self.conv3, self.mixed = FilterStripe(6, 6, 3), BatchNorm2d(6)
        self.fc = nn.Linear(6, 3)
        for layer in self.convolutions:
            values = torch.rand(layer.FilterSkeleton.shape) * 2 - 1
            values[1] *= 0.1  # these filters die on the way
            values[2] *= 0.01  # and these are dead from the beginning
            layer.FilterSkeleton.data = values

    @property
    def convolutions(self) -> tuple[FilterStripe, ...]:
        """All that have stripes."""
        return self.conv1, self.conv2, self.conv3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits `[B, 3]`."""
        x = torch.relu(self.bn1(self.conv1(x)))
        branch = self.conv3(torch.relu(self.bn2(self.conv2(x))))
        branch += x
        logits: torch.Tensor = self.fc(torch.relu(self.mixed(branch)).mean(dim=(2, 3)))
        return logits


class Watched:
    """A network in training: `check` after each step that what died is zero, and for good."""

    def __init__(self, make: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None = None) -> None:
        self.network = Residual()
        self.optimizer = sgd(self.network.parameters()) if make is None else make(list(self.network.parameters()))
        self.update = SkeletonUpdate(self.network, sr=SR, threshold=THRESHOLD).attach(self.optimizer)
        self.dead = [torch.zeros_like(layer.FilterSkeleton, dtype=torch.bool) for layer in self.network.convolutions]
        self.died = 0

    def check(self, *, forget: bool = False) -> None:
        """Each value is zero or beyond the threshold, the dead are still dead, and exactly their BatchNorm is."""
        network = self.network
        for index, layer in enumerate(network.convolutions):
            values = layer.FilterSkeleton.detach()
            assert ((values == 0) | (values.abs() > THRESHOLD)).all()
            if not forget:
                assert (values[self.dead[index]] == 0).all()
                self.died += int(((values == 0) & ~self.dead[index]).sum())
            self.dead[index] = values == 0
        for layer, norm in ((network.conv1, network.bn1), (network.conv2, network.bn2)):
            silent = (layer.FilterSkeleton == 0).flatten(1).all(dim=1)
            assert silent[2]
            assert torch.equal(norm.weight == 0, silent)
            assert (norm.bias[silent] == 0).all()
        assert (network.mixed.weight != 0).all()

    def steps(self, *, model: Callable[[torch.Tensor], torch.Tensor] | None = None) -> None:
        """Take the plain loop's steps, through `model` if the network is wrapped."""
        for step in range(STEPS):
            self.optimizer.zero_grad()
            loss_of(self.network if model is None else model, step).backward()
            self.optimizer.step()
            self.check()
        assert self.died > sum(int(dead.sum()) for dead in self.dead) / 2


def loss_of(network: Callable[[torch.Tensor], torch.Tensor], step: int) -> torch.Tensor:
    """Return the cross-entropy of one batch of random images, another one in each step."""
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(8, 2, 6, 6, generator=generator)
    return functional.cross_entropy(network(images), torch.randint(3, (8,), generator=generator))


def sgd(parameters: Iterable[Any]) -> torch.optim.SGD:
    """Return the method's optimizer."""
    return torch.optim.SGD(parameters, 0.1, momentum=0.9, weight_decay=1e-4)


def assert_same(one: nn.Module, other: nn.Module) -> None:
    """Assert that two networks hold the same, bit for bit."""
    for (key, expected), value in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(value, expected), key


@pytest.fixture(scope="module")
def plain() -> Watched:
    """Return what the plain loop ends with."""
    loop = Watched()
    loop.steps()
    return loop


class TestCompiled:
    """torch.compile; these backends need no C++ compiler."""

    @pytest.mark.parametrize("backend", ["eager", "aot_eager"])
    def test_one_graph_without_a_break_compiled_once(self, plain: Watched, backend: str) -> None:
        """All steps, the first included, run the one graph, and end as the plain loop does, bit for bit."""
        torch.compiler.reset()
        counter = CompileCounterWithBackend(backend)
        loop = Watched()
        loop.steps(model=torch.compile(loop.network, backend=counter, fullgraph=True))
        assert counter.frame_count == 1
        assert_same(plain.network, loop.network)

    def test_a_function_compiled_for_any_batch(self, plain: Watched) -> None:
        """Where a function is compiled and not the module, for shapes that vary, it is the same."""
        torch.compiler.reset()
        loop = Watched()
        loop.steps(
            model=torch.compile(Residual.forward.__get__(loop.network), backend="eager", fullgraph=True, dynamic=True)
        )
        assert_same(plain.network, loop.network)

    def test_an_update_of_the_compiled_network(self) -> None:
        """The wrapped network may be given as well."""
        torch.compiler.reset()
        network = Residual()
        compiled = torch.compile(network, backend="eager", fullgraph=True)
        update = SkeletonUpdate(compiled, sr=SR, threshold=THRESHOLD)
        loss_of(compiled, 0).backward()
        update.before_step()
        assert network.bn1.weight[2] == network.bn2.weight[2] == 0
        assert (network.mixed.weight != 0).all()


class TestCopies:
    """Networks of which there is more than one."""

    def test_data_parallel_replicas(self, plain: Watched) -> None:
        """A replica, as DataParallel makes one per device, tells which BatchNorm follows in the network itself."""
        loop = Watched()
        loop.steps(model=Replicated(loop.network))
        assert_same(plain.network, loop.network)

    def test_data_parallel_without_devices(self, plain: Watched) -> None:
        """On the CPU DataParallel calls the network."""
        loop = Watched()
        loop.steps(model=nn.DataParallel(loop.network))
        assert_same(plain.network, loop.network)

    def test_a_copy_made_before_the_first_step(self, plain: Watched) -> None:
        """A deep copy, or a pickled one, is a network of its own and can be trained with its own update."""
        first = Watched()
        for network in (copy.deepcopy(first.network), pickle.loads(pickle.dumps(first.network))):  # noqa: S301
            loop = Watched()
            loop.network, loop.optimizer = network, sgd(network.parameters())
            SkeletonUpdate(network, sr=SR, threshold=THRESHOLD).attach(loop.optimizer)
            loop.steps()
            assert_same(plain.network, network)
        first.steps()
        assert_same(plain.network, first.network)


class Replicated(nn.Module):
    """What DataParallel does on one device more: a shallow copy of every module, made anew in each forward pass."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the replica computes."""
        modules = list(self.network.modules())
        replicas = [module._replicate_for_data_parallel() for module in modules]  # type: ignore[no-untyped-call]
        for module, replica in zip(modules, replicas, strict=True):
            for name, child in module._modules.items():
                setattr(replica, name, replicas[modules.index(child)])  # type: ignore[arg-type]
            for name, parameter in module._parameters.items():
                setattr(replica, name, None if parameter is None else parameter.view_as(parameter))
        logits: torch.Tensor = replicas[0](x)
        return logits


class TestAveraged:
    """Means of the network over the steps."""

    @pytest.mark.parametrize("options", [{}, {"multi_avg_fn": get_ema_multi_avg_fn(0.9)}])
    def test_silence_makes_the_average_prunable(self, options: dict[str, Any]) -> None:
        """What died on the way is not zero in the mean; after `silence` it is, and each other value is untouched."""
        loop = Watched()
        average = AveragedModel(loop.network, **options)
        early = None
        for step in range(STEPS):
            loop.optimizer.zero_grad()
            loss_of(loop.network, step).backward()
            loop.optimizer.step()
            average.update_parameters(loop.network)
            early = [dead.clone() for dead in loop.dead] if step == 1 else early
            loop.check()
        before = [layer.FilterSkeleton.clone() for layer in average.module.convolutions]
        dead = [layer.FilterSkeleton == 0 for layer in loop.network.convolutions]
        assert any((values[mask] != 0).any() for values, mask in zip(before, dead, strict=True))
        loop.update.silence(average)
        for layer, values, mask in zip(average.module.convolutions, before, dead, strict=True):
            expected = torch.where(mask | (values.abs() <= THRESHOLD), 0, values)
            assert torch.equal(layer.FilterSkeleton, expected)
        for layer, norm in ((average.module.conv1, average.module.bn1), (average.module.conv2, average.module.bn2)):
            silent = (layer.FilterSkeleton == 0).flatten(1).all(dim=1)
            assert silent[2]
            assert torch.equal(norm.weight == 0, silent)
            assert (norm.bias[silent] == 0).all()
        assert (average.module.mixed.weight != 0).all()

    def test_dead_all_the_time_is_zero_in_the_mean(self) -> None:
        """A stripe that was dead at every step that is averaged needs no `silence`."""
        loop = Watched()
        loop.steps()
        average = AveragedModel(loop.network)
        for step in range(2):
            loss_of(loop.network, step).backward()
            loop.optimizer.step()
            average.update_parameters(loop.network)
        for layer, dead in zip(average.module.convolutions, loop.dead, strict=True):
            assert dead.any()
            assert (layer.FilterSkeleton[dead] == 0).all()

    def test_another_network_is_no_average(self) -> None:
        """Nothing is guessed."""
        with pytest.raises(ValueError, match="not an average of the network: its layers are others"):
            Watched().update.silence(nn.Sequential(FilterStripe(2, 6, 3)))


class TestSteps:
    """What may stand between backward and step, or in place of the step."""

    def test_gradients_accumulated_over_backward_passes(self) -> None:
        """The penalty is added once per step: four quarters of the loss are the loss."""
        gradients = []
        for parts in (1, 4):
            loop = Watched()
            for _ in range(parts):
                (loss_of(loop.network, 0) / parts).backward()
            loop.update.before_step()
            gradients.append([parameter.grad for parameter in loop.network.parameters()])
            for step in range(STEPS):
                loop.optimizer.step()
                loop.check()
                loop.optimizer.zero_grad()
                for _ in range(parts):
                    (loss_of(loop.network, step) / parts).backward()
        for one, four in zip(*gradients, strict=True):
            torch.testing.assert_close(one, four, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("fused", [False, True])
    def test_a_scaler_that_skips_the_first_and_the_third_step(self, plain: Watched, *, fused: bool) -> None:
        """A skipped step leaves everything but the statistics as it was; the others are those of the plain loop."""
        loop = Watched(
            lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.9, weight_decay=1e-4, fused=fused)
        )
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        steps = [(0, True), (0, False), (1, False), (2, True), (2, False), (3, False), (4, False)]
        # torch 2.14's fused SGD goes on with uninitialised momentum where the very first step is skipped.
        for step, overflows in steps[1:] if fused else steps:
            before = [parameter.detach().clone() for parameter in loop.network.parameters()]
            loop.optimizer.zero_grad()
            loss = loss_of(loop.network, step)
            scaler.scale(loss * (torch.inf if overflows else 1)).backward()
            if fused:
                scaler.unscale_(loop.optimizer)
            scaler.step(loop.optimizer)
            scaler.update()
            if not overflows:
                loop.check()
            elif step:
                for parameter, value in zip(loop.network.parameters(), before, strict=True):
                    assert torch.equal(parameter, value)
        for expected, value in zip(plain.network.parameters(), loop.network.parameters(), strict=True):
            torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("keyword", [False, True])
    def test_a_closure_is_the_plain_loop(self, plain: Watched, *, keyword: bool) -> None:
        """`optimizer.step(closure)` computes the gradients within the step, and the penalty comes after that."""
        loop = Watched()
        for step in range(STEPS):

            def closure(step: int = step) -> torch.Tensor:
                loop.optimizer.zero_grad()
                loss = loss_of(loop.network, step)
                loss.backward()
                return loss

            returned = loop.optimizer.step(closure=closure) if keyword else loop.optimizer.step(closure)
            assert returned is not None
            assert returned.requires_grad
            loop.check()
        assert_same(plain.network, loop.network)

    def test_an_optimizer_that_calls_the_closure_many_times(self) -> None:
        """LBFGS moves along directions in which the dead have a part, between the calls too."""
        loop = Watched(lambda parameters: torch.optim.LBFGS(parameters, lr=0.5, max_iter=6))
        calls = []
        for step in range(STEPS):

            def closure(step: int = step) -> torch.Tensor:
                calls.append(step)
                loop.optimizer.zero_grad()
                loss = loss_of(loop.network, step)
                loss.backward()
                return loss

            loop.optimizer.step(closure)  # type: ignore[no-untyped-call]
            loop.check()
        assert len(calls) > 2 * STEPS
        assert loop.died

    def test_clipped_gradients_and_a_schedule(self, plain: Watched) -> None:
        """A clip that clips nothing and a rate that stays change nothing."""
        loop = Watched()
        schedule = torch.optim.lr_scheduler.LambdaLR(loop.optimizer, lambda _: 1.0)
        for step in range(STEPS):
            loop.optimizer.zero_grad()
            loss_of(loop.network, step).backward()
            clip_grad_norm_(loop.network.parameters(), 1e6)
            loop.optimizer.step()
            schedule.step()
            loop.check()
        assert_same(plain.network, loop.network)

    def test_a_clip_that_clips_and_a_rate_that_cycles(self) -> None:
        """The dead stay dead whatever the gradient is scaled by."""
        loop = Watched()
        schedule = torch.optim.lr_scheduler.OneCycleLR(loop.optimizer, 0.5, total_steps=STEPS)
        for step in range(STEPS):
            loop.optimizer.zero_grad()
            loss_of(loop.network, step).backward()
            clip_grad_norm_(loop.network.parameters(), 0.01)
            loop.optimizer.step()
            schedule.step()
            loop.check()
        assert loop.died

    def test_going_back_to_an_earlier_state(self) -> None:
        """Loaded in the middle, network and optimizer go on as they did, with the stripes that lived then."""
        loop = Watched()
        ends = []
        for step in range(STEPS):
            if step == 2:
                state = copy.deepcopy((loop.network.state_dict(), loop.optimizer.state_dict()))
            loop.optimizer.zero_grad()
            loss_of(loop.network, step).backward()
            loop.optimizer.step()
            loop.check()
        ends.append(copy.deepcopy(loop.network))
        loop.network.load_state_dict(state[0])
        loop.optimizer.load_state_dict(state[1])
        for step in range(2, STEPS):
            loop.optimizer.zero_grad()
            loss_of(loop.network, step).backward()
            loop.optimizer.step()
            loop.check(forget=step == 2)
        assert_same(ends[0], loop.network)


class TestOptimizers:
    """Any of torch's, with any groups."""

    @pytest.mark.parametrize(
        "make",
        [
            lambda parameters: torch.optim.Adam(parameters, 0.1),
            lambda parameters: torch.optim.AdamW(parameters, 0.1, weight_decay=0.1, amsgrad=True),
            lambda parameters: torch.optim.RMSprop(parameters, 0.05, momentum=0.9, centered=True),
            lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.9, nesterov=True, foreach=True),
            lambda parameters: torch.optim.Rprop(parameters, 0.1),
        ],
    )
    def test_the_dead_stay_dead(self, make: Callable[[list[nn.Parameter]], torch.optim.Optimizer]) -> None:
        """Whatever momentum, normalisation or decay moves them."""
        Watched(make).steps()

    def test_groups_with_the_same_options_are_no_difference(self, plain: Watched) -> None:
        """The skeletons may be in any group."""
        loop = Watched(
            lambda parameters: sgd([{"params": parameters[::3]}, {"params": parameters[1::3] + parameters[2::3]}])
        )
        loop.steps()
        assert_same(plain.network, loop.network)

    def test_groups_with_other_options(self) -> None:
        """A rate of their own, and no decay."""
        loop = Watched(
            lambda parameters: sgd(
                [
                    {"params": [p for p in parameters if p.dim() == 3], "lr": 0.3, "weight_decay": 0.0},
                    {"params": [p for p in parameters if p.dim() != 3]},
                ]
            )
        )
        assert len(loop.optimizer.param_groups[0]["params"]) == 3
        loop.steps()

    def test_two_optimizers_share_the_network(self, plain: Watched) -> None:
        """The skeletons get the penalty once, from the optimizer that holds them."""
        for order in (1, -1):
            loop = Watched(lambda parameters: sgd(p for p in parameters if p.dim() == 3))
            other = sgd(p for p in loop.network.parameters() if p.dim() != 3)
            loop.update.attach(other)
            for step in range(STEPS):
                loop.network.zero_grad()
                loss_of(loop.network, step).backward()
                for optimizer in (loop.optimizer, other)[::order]:
                    optimizer.step()
                loop.check()
            assert_same(plain.network, loop.network)
