"""What the A2A agent does with a message: a run, told as a task.

    submitted → working → completed    the answer is an artifact, in pieces where it is streamed
                        → failed       an expert did not answer, or the message cannot be used
                        → input required    the graph asks its human; the next message of the task is the answer

A context is a thread of the graph's saver, so that a follow-up is read with what was said before.
"""

from dataclasses import replace
from uuid import NAMESPACE_URL, uuid4, uuid5

from a2a.helpers.proto_helpers import new_task_from_user_message, new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.tasks import TaskUpdater
from a2a.types.a2a_pb2 import Message, Role, TaskState
from a2a.utils.errors import InvalidParamsError
from google.protobuf import json_format
from langchain_core.messages import HumanMessage
from typing_extensions import override

from octopus_graph_server import logs
from octopus_graph_server.problems import NotFoundError, refusal_of
from octopus_graph_server.running import Ask, Decided, Ended, Run, Stopped, Words
from octopus_graph_server.service import Service

__all__ = ["OctopusAgent"]


class OctopusAgent(AgentExecutor):
    """Answers messages with the graph."""

    def __init__(self, service: Service) -> None:
        """Takes the graph."""
        self._service = service

    @override
    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        message = context.message
        if message is None or message.role != Role.ROLE_USER:
            raise InvalidParamsError(message="There is no message of a user: send one.")
        if any(not part.HasField("text") for part in message.parts) or not context.get_user_input().strip():
            raise InvalidParamsError(message="Messages are text here: send text parts that are not empty.")
        task = context.current_task
        if task is None:
            task = new_task_from_user_message(message)
            await event_queue.enqueue_event(task)
        telling = TaskUpdater(event_queue, task.id, task.context_id)
        await telling.start_work()
        try:
            ask = self._ask(message, context.get_user_input(), task.context_id)
            await self._run(replace(ask, words=_streamed(context)), telling)
        except Exception as error:  # noqa: BLE001 - a task says what went wrong
            logs.note(error=type(error).__name__)
            await telling.failed(telling.new_agent_message([new_text_part(str(refusal_of(error)))]))

    @override
    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Says that the task is cancelled; its run ended with the call of `execute`, which the SDK cancels."""
        telling = TaskUpdater(event_queue, str(context.task_id), str(context.context_id))
        await telling.cancel()

    def _ask(self, message: Message, text: str, context_id: str) -> Ask:
        self._service.check_prompt(text)
        skill = json_format.MessageToDict(message.metadata).get("skill")
        if skill is not None and skill not in self._service.experts:
            raise NotFoundError(f"There is no skill {str(skill)[:64]!r}: the agent's card lists them.")
        thread = str(uuid5(NAMESPACE_URL, f"a2a:{context_id}"))
        return Ask([HumanMessage(text)], skill, thread=thread)

    async def _run(self, ask: Ask, telling: TaskUpdater) -> None:
        artifact, pieces = str(uuid4()), 0

        async def answer(text: str) -> None:
            await telling.add_artifact([new_text_part(text)], artifact, "answer", append=pieces > 0)

        decided = Decided(None)
        async with Run(self._service, ask) as run:
            async for event in run:
                match event:
                    case Decided():
                        decided = event
                        logs.note(expert=event.expert)
                    case Words(text) if ask.words:
                        await answer(text)
                        pieces += 1
                    case Stopped(question):
                        await telling.requires_input(telling.new_agent_message([new_text_part(question)]))
                    case Ended():
                        if not pieces:
                            await answer(event.answer)
                        told = {"run_id": run.id, "path": event.path, "expert": decided.expert}
                        told |= {"confidence": decided.confidence}
                        await telling.update_status(TaskState.TASK_STATE_COMPLETED, metadata={"octopus": told})
                    case _:
                        pass


def _streamed(context: RequestContext) -> bool:
    """Says whether somebody listens while the task is done; for all others the answer is one piece."""
    state = context.call_context.state
    return state.get("method") in _STREAMS or str(state.get("path")).endswith(":stream")


_STREAMS = {"SendStreamingMessage", "message/stream"}
