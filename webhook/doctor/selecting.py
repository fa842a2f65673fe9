"""Which labels a label selector selects, as the API server has it (`LabelSelectorAsSelector` of apimachinery)."""

from collections.abc import Mapping

from webhook.doctor.objects import Expression, Selector


def selects(selector: Selector | None, labels: Mapping[str, str]) -> bool:
    """Tell whether a selector selects an object with these labels; none, or an empty one, selects everything."""
    if selector is None:
        return True
    wanted = (selector.match_labels or {}).items()
    return wanted <= labels.items() and all(_holds(each, labels) for each in selector.match_expressions or ())


def _holds(expression: Expression, labels: Mapping[str, str]) -> bool:
    there = expression.key in labels
    match expression.operator:
        case "In":
            return there and labels[expression.key] in (expression.values or ())
        case "NotIn":
            return not there or labels[expression.key] not in (expression.values or ())
        case "Exists":
            return there
        case "DoesNotExist":
            return not there
        case _:
            # The API server knows no other; one that is to come selects nothing as far as we know.
            return False
