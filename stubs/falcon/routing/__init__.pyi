from .compiled import CompiledRouter as CompiledRouter

DefaultRouter = CompiledRouter
