"""One chat model made of many: wherever LangChain wants a model, each message goes to the expert the router names.

python examples/chat_model.py http://localhost:11434/v1 qwen3:4b
"""

import sys

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from octopus_graph.engines.chat import openai_compatible_chat
from octopus_graph_integrations import ChatOctopus


def main(url: str, model: str) -> None:
    """Answers by itself, then as a link of a chain."""
    chat = openai_compatible_chat(url, model, timeout=120)
    octopus = ChatOctopus(experts={"math": chat, "law": chat, "general": chat}, fallback="general")

    answer = octopus.invoke("Can my landlord keep the deposit?")
    decision = answer.response_metadata["octopus"]
    print(f"{decision['token']} {decision['expert']} ({decision['confidence']:.2f}): {answer.text}")

    chain = ChatPromptTemplate.from_template("In one short sentence: {question}") | octopus | StrOutputParser()
    for words in chain.stream({"question": "what is the derivative of x^3?"}):
        print(words, end="", flush=True)
    print()


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["http://localhost:11434/v1", "qwen3:4b"]))
